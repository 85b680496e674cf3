# Every target first makes .venv equal to requirements.lock (a moment when it already is), then does its work.
.DEFAULT_GOAL := help
.PHONY: help run up down status logs clean-data test faults check format bench examples demo demo-texts events desk story topology secrets compose-test upgrade backup restore settings

conveyor = @command -v python3 >/dev/null || { echo "Conveyor needs Python 3.11 or newer: install python3."; exit 1; }; \
	exec python3 infra/local/bootstrap.py
unexport ID # an id is text, whoever made it up: neither make nor the shell reads anything in it

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

run: ## start the whole system here; Ctrl-C stops it; tasks in SQLite: make run STORE=sqlite
	$(conveyor) run

up: ## start the whole system in the background
	$(conveyor) up

down: ## stop what runs here
	$(conveyor) down

status: ## what runs, since when, at which address
	$(conveyor) status

logs: ## follow the logs; of one service: make logs S=waste_service
	$(conveyor) logs $(S)

clean-data: ## remove all data of the servers, after asking
	$(conveyor) clean-data $(if $(FORCE),--force)

faults: ## break everything on real servers, which takes long; some: make faults ONLY=sigkill SEED=1 BROKER=4
	$(conveyor) faults $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED)) $(if $(BROKER),--broker $(BROKER))

test: ## all tests, against servers of their own; some: make test ARGS="-k waste"; in containers: SERVERS=containers
	$(conveyor) test $(ARGS)

check: ## ruff, mypy and the import rules; changes nothing
	$(conveyor) check

format: ## format the code
	$(conveyor) format

bench: ## measure beside other systems and write benchmarks/results.md; one: make bench ONLY=texts
	$(conveyor) bench $(ONLY) $(if $(ROUNDS),--rounds $(ROUNDS))

examples: ## make requests.http and its kin from the contracts
	$(conveyor) examples

demo: ## load the waste case through REST and print it
	$(conveyor) demo

demo-texts: ## hand in a book by chapters, and print what was counted
	$(conveyor) demo-texts

events: ## print events live
	$(conveyor) events

desk: ## what failed, and replaying it: make desk ARGS="groups", "show ID", "replay --all"
	$(conveyor) desk $(ARGS)

story: ## what happened to a message, operation or resource: make story ID=/tasks/…
	$(conveyor) story '$(subst ','\'',$(value ID))' $(if $(JSON),--json)

topology: ## what the contracts declare against what the broker has; to mend a queue: make topology MIGRATE=queue
	$(conveyor) topology $(if $(MIGRATE),--migrate $(MIGRATE)) $(if $(JSON),--json)

secrets: ## make what docker-compose.yml reads: passwords, addresses, RabbitMQ's definitions
	$(conveyor) secrets $(ARGS)

compose-test: ## build the images and prove docker-compose.yml on an engine; part: make compose-test ARGS="-k kills"
	$(conveyor) compose-test $(ARGS)

upgrade: ## containers: newer images in place of what runs, without stopping
	$(conveyor) upgrade

backup: ## containers: keep all stores at one moment: make backup TO=folder
	$(conveyor) backup '$(TO)'

restore: ## containers: have back what was kept, after asking: make restore FROM=folder
	$(conveyor) restore '$(FROM)' $(if $(FORCE),--force)

settings: ## make the table of all settings in docs/deployment.md
	$(conveyor) settings
