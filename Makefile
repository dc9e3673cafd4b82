PYTHON ?= python3
BIN := .venv/bin

.PHONY: help install check test docs demo browser clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: .venv/installed  ## .venv with everything that the tests and the demo need

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch -c constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@# Never imported, so without its requirements: the tests read CLIP's vocabulary from its files.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps open-clip-torch -c constraints.txt
	touch $@

check: install  ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

test: check  ## the checks and the tests; those of the page want Chromium (Debian: apt-get install chromium fonts-dejavu-core)
	@command -v chromium > /dev/null || echo "no chromium: the tests of the page are skipped"
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

docs: install  ## the pages of docs/ and the API reference, in out/docs; open out/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

demo: .venv/demo-installed  ## a page that shows the bundled model at work, and IMAGES="a.jpg b.jpg" of yours
	$(BIN)/xdecoder demo $(IMAGES) --out out/demo.html \
		$(if $(PHRASE),--phrase "$(PHRASE)") $(if $(VOCABULARY),--vocabulary "$(VOCABULARY)")

.venv/demo-installed: pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch -c constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[picturebook]' -c constraints.txt
	touch $@

browser: install  ## out/browser: a page that runs the bundled model in the browser; wants npm
	$(BIN)/xdecoder export picturebook out/picturebook-onnx --to onnx --dtype float16 \
		--parts image,text,latents,phrases,caption
	$(BIN)/python docs/browser/assemble.py out/picturebook-onnx out/browser

clean:  ## remove .venv and caches
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache
