//! Unique visitors: a HyperLogLog sketch, sparse while small.
//!
//! Source: Flajolet et al. 2007; the estimate is Ertl 2017 ("New cardinality estimation algorithms for HyperLogLog sketches",
//! algorithm 6), which needs no bias tables and is as good at every size. Up to [`SPARSE_MAX`] visitors are kept as they are and
//! counted exactly.
//!
//! The byte form is stored for ever and is versioned; merging is commutative, associative and idempotent, and two sketches of the same
//! visitors have the same bytes however they came together. That is why this is written here and not taken from a crate: the bytes
//! have to outlive every dependency.
//!
//! Byte form: version (1), kind, then for kind 0 (sparse) the visitors, u64 little-endian, ascending; for kind 1 (dense) 4096 registers
//! of 6 bits, four in three bytes, the first in the lowest bits.

/// Standard error about 1.6 % (4096 registers) once dense; exact while sparse and small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch(Form);

/// Sparse up to [`SPARSE_MAX`] different visitors, dense from one more on: which it is depends on the visitors alone.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Ascending.
    Sparse(Vec<u64>),
    Dense(Box<[u8; REGISTERS]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a visitor sketch: {0}")]
pub struct SketchError(pub &'static str);

/// Counted exactly: 2 KiB, when dense takes 3 KiB.
pub const SPARSE_MAX: usize = 256;
/// No sketch has more bytes than a dense one.
pub const BYTES_MAX: usize = 2 + DENSE_BYTES;

const INDEX_BITS: u32 = 12;
const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a visitor that are left to count leading zeros in; a register holds 0 to one more than these.
const RANK_BITS: u32 = 64 - INDEX_BITS;
const RANK_MAX: u8 = RANK_BITS as u8 + 1;
const DENSE_BYTES: usize = REGISTERS * 6 / 8;
const VERSION: u8 = 1;
const SPARSE: u8 = 0;
const DENSE: u8 = 1;

impl Default for Sketch {
    fn default() -> Self {
        Self::new()
    }
}

impl Sketch {
    pub fn new() -> Self {
        Self(Form::Sparse(Vec::new()))
    }

    /// `visitor` is already a uniform 64-bit hash.
    pub fn insert(&mut self, visitor: u64) {
        match &mut self.0 {
            Form::Dense(registers) => raise(registers, visitor),
            Form::Sparse(visitors) => {
                let Err(at) = visitors.binary_search(&visitor) else { return };
                visitors.insert(at, visitor);
                if visitors.len() > SPARSE_MAX {
                    self.0 = Form::Dense(dense(visitors));
                }
            }
        }
    }

    pub fn merge(&mut self, other: &Sketch) {
        match (&mut self.0, &other.0) {
            (_, Form::Sparse(visitors)) => visitors.iter().for_each(|&visitor| self.insert(visitor)),
            (Form::Sparse(visitors), Form::Dense(registers)) => {
                let mut merged = registers.clone();
                visitors.iter().for_each(|&visitor| raise(&mut merged, visitor));
                self.0 = Form::Dense(merged);
            }
            (Form::Dense(ours), Form::Dense(theirs)) => {
                ours.iter_mut().zip(theirs.iter()).for_each(|(ours, theirs)| *ours = (*ours).max(*theirs));
            }
        }
    }

    pub fn estimate(&self) -> u64 {
        match &self.0 {
            Form::Sparse(visitors) => visitors.len() as u64,
            Form::Dense(registers) => estimate(registers),
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Form::Sparse(visitors) => {
                let mut bytes = Vec::with_capacity(2 + 8 * visitors.len());
                bytes.extend([VERSION, SPARSE]);
                visitors.iter().for_each(|visitor| bytes.extend(visitor.to_le_bytes()));
                bytes
            }
            Form::Dense(registers) => {
                let mut bytes = Vec::with_capacity(BYTES_MAX);
                bytes.extend([VERSION, DENSE]);
                for four in registers.chunks_exact(4) {
                    let packed = four.iter().rev().fold(0_u32, |packed, &rank| packed << 6 | u32::from(rank));
                    bytes.extend(&packed.to_le_bytes()[..3]);
                }
                bytes
            }
        }
    }

    /// Total: any bytes are a sketch or an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        match bytes {
            [VERSION, SPARSE, rest @ ..] => from_sparse(rest),
            [VERSION, DENSE, rest @ ..] => from_dense(rest),
            [VERSION, _, ..] => Err(SketchError("unknown kind")),
            [VERSION] | [] => Err(SketchError("it ends too early")),
            _ => Err(SketchError("unknown version")),
        }
    }
}

fn from_sparse(bytes: &[u8]) -> Result<Sketch, SketchError> {
    let (visitors, []) = bytes.as_chunks::<8>() else { return Err(SketchError("a torn visitor")) };
    if visitors.len() > SPARSE_MAX {
        return Err(SketchError("more visitors than a sparse sketch holds"));
    }
    let visitors: Vec<u64> = visitors.iter().map(|visitor| u64::from_le_bytes(*visitor)).collect();
    if !visitors.is_sorted_by(|a, b| a < b) {
        return Err(SketchError("visitors out of order"));
    }
    Ok(Sketch(Form::Sparse(visitors)))
}

fn from_dense(bytes: &[u8]) -> Result<Sketch, SketchError> {
    if bytes.len() != DENSE_BYTES {
        return Err(SketchError("a dense sketch of another size"));
    }
    let mut registers = Box::new([0; REGISTERS]);
    for (four, packed) in registers.chunks_exact_mut(4).zip(bytes.chunks_exact(3)) {
        let packed = u32::from_le_bytes([packed[0], packed[1], packed[2], 0]);
        for (at, rank) in four.iter_mut().enumerate() {
            *rank = (packed >> (6 * at) & 63) as u8;
        }
    }
    if registers.iter().any(|&rank| rank > RANK_MAX) {
        return Err(SketchError("a register beyond its range"));
    }
    Ok(Sketch(Form::Dense(registers)))
}

fn dense(visitors: &[u64]) -> Box<[u8; REGISTERS]> {
    let mut registers = Box::new([0; REGISTERS]);
    visitors.iter().for_each(|&visitor| raise(&mut registers, visitor));
    registers
}

/// The upper bits choose the register; it keeps the most leading zeros (plus one) seen in the lower bits.
fn raise(registers: &mut [u8; REGISTERS], visitor: u64) {
    let index = (visitor >> RANK_BITS) as usize;
    let rank = ((visitor << INDEX_BITS).leading_zeros().min(RANK_BITS) + 1) as u8;
    registers[index] = registers[index].max(rank);
}

/// Ertl 2017, algorithm 6.
fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let mut counts = [0_u32; RANK_MAX as usize + 1];
    for &rank in registers {
        counts[usize::from(rank)] += 1;
    }
    let m = REGISTERS as f64;
    let share = |rank: usize| f64::from(counts[rank]) / m;
    let saturated = m * tau(1.0 - share(usize::from(RANK_MAX)));
    let z = (1..usize::from(RANK_MAX)).rev().fold(saturated, |z, rank| 0.5 * (z + f64::from(counts[rank])));
    let z = z + m * sigma(share(0));
    // Rounded; a division by zero (every register full) saturates.
    (m * m / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
}

fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests;
