.PHONY: style quality test slow_tests evidence

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

slow_tests:
	pytest -m slow

# Writes docs/evidence.md and its plots from the results; measures nothing.
evidence:
	python -m evidence
