.PHONY: style quality test slow_tests newest evidence

# Rewrites the code.
style:
	ruff check --fix .
	ruff format .

# What CI checks.
quality:
	ruff check .
	ruff format --check .
	python .ci/lint_models.py

test:
	pytest -n auto

# What .ci/run adds to them; the tests in a browser need Chromium.
slow_tests:
	pytest -n auto -m "(slow or browser) and not gpu"

# Rewrites constraints.txt with the newest releases on which the tests pass.
newest:
	.ci/newest

# Writes docs/evidence.md, docs/quality.md, their plots and all tables of other pages that are made from results or code. It
# measures nothing.
evidence:
	python -m evidence
	python -m evidence.options_table
	python -m evidence.memory_table
	python -m evidence.vision_summary
	python -m evidence.rules_table
	python -m benchmarks
