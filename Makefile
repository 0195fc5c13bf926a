.PHONY: style quality test slow_tests

# Rewrites the code.
style:
	ruff check --fix .
	ruff format .

# What CI checks.
quality:
	ruff check .
	ruff format --check .
	python utils/lint_models.py

test:
	pytest -n auto

slow_tests:
	pytest -m slow
