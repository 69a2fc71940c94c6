# What a newcomer types. Everything stands in scripts/, which can be run without make.
.DEFAULT_GOAL := help
.PHONY: help run fleet test lint fuzz drill drill-containers torture bench load image stack-test

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

run: ## build the release binary and serve on http://127.0.0.1:8080, saying what to do next (RUN_ARGS: options of `knurl serve`)
	@scripts/run.sh $(RUN_ARGS)

fleet: ## PostgreSQL, Redis, nginx and three nodes on this machine, until Ctrl-C (FLEET_ARGS: options of `knurl-lab fleet`)
	@scripts/fleet.sh $(FLEET_ARGS)

test: ## install what the tests need and run all of them: lint, fuzzing (20 s a target), unit, black-box and 200 kills
	@scripts/test.sh

lint: ## formatting, clippy, licenses and bans
	@scripts/lint.sh

fuzz: ## fuzz every target for FUZZ_SECONDS (600)
	@scripts/fuzz.sh $(or $(FUZZ_SECONDS),600)

drill: ## make failures on purpose and see that each is survived, seen and healed: the short set (DRILL_ARGS: names or `all`, and options of `knurl-lab drill run`)
	@scripts/drill.sh $(DRILL_ARGS)

drill-containers: ## the drills on nodes in containers, which Docker restarts: all that can (DRILL_ARGS; needs root; docs/guide/chaos.md)
	@scripts/drill-containers.sh $(DRILL_ARGS)

torture: ## the long runs, some hours: 10 000 kills, 10 000 simulated stories, then every drill, then every promise: p9 p10 p14 p3 p4 p5 p8 p22 p23 ledger (KILLS, STORIES, SEED)
	@scripts/torture.sh

bench: ## measure against nginx `return 302` and print the tables (BENCH_ARGS: options of `knurl-lab bench`)
	@scripts/bench.sh $(BENCH_ARGS)

load: ## k6's load on a fleet of this machine's: PROFILE=smoke|bronze|silver|gold|mixed|spike|soak|breakpoint (docs/guide/load.md)
	@scripts/load.sh $(or $(PROFILE),smoke)

image: ## build the static binary and its list of parts into dist/, for `docker build --build-arg SOURCE=prebuilt .`
	@scripts/image.sh

stack-test: ## build the image, bring compose.prod.yaml up in containers, hurt it, look at the books, take it down (needs root; docs/guide/containers.md)
	@scripts/stack-test.sh
