//! The `knurl` binary: see [`knurl::cli`].

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    knurl::cli::run(std::env::args_os())
}
