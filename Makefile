# `make demo` needs python3 and pip alone; `make test` adds what training and checking need.
PYTHON ?= python3
RUN := .venv/run
DEV := .venv/dev
LOWEST := .venv/lowest
RELEASE := .venv/release
CLEAN := .venv/clean
LOWEST_TESTS := entropy container codec effort format conformance layered_file tiles pictures colour metadata models hostile_models cli pillow files dataset
# Processes of the tests, with one thread each.
JOBS ?= 2
# Of the demo page.
PORT ?= 8000
PYTEST := OMP_NUM_THREADS=1 $(DEV)/bin/python -m pytest -n $(JOBS)

HALVES := 0,0.5,1,1.5,2,2.5,3,3.5,4,4.5,5,5.5,6
CROPS := 05 24
# Measured once, their programs being installed: make results leaves them as they are.
PEERS := $(filter-out %/compass.json %/single-compass.json,$(wildcard results/kodak/*.json))
# The folder Urban100, or nothing; and in place of CLIC 2021, which is not at hand, one of other pictures.
URBAN100 ?=
STAND_IN ?= valid

.PHONY: demo test test-fast check-lowest check-machines lint types check release web web-test web-demo web-results bench effort shvc paper-small results clean

demo: $(RUN)/ready
	@mkdir -p build
	$(RUN)/bin/compass encode examples/kodim23.png build/demo.cmps --scales 1/4,1/2,1 -q 3 --force
	$(RUN)/bin/compass info build/demo.cmps
	$(RUN)/bin/compass decode build/demo.cmps build/demo-small.png --layer 0 --force
	$(RUN)/bin/compass decode build/demo.cmps build/demo.png --force
	$(RUN)/bin/compass encode examples/small --out-dir build/small --force
	@echo "Look at build/demo-small.png (from the file's first bytes) and build/demo.png; build/small holds a folder of three."

test: $(DEV)/ready
	$(PYTEST)

# What a user runs, without PyTorch and without the slow ones.
test-fast: $(DEV)/ready
	$(PYTEST) -m "not slow and not torch" --ignore=tests/training

# The lowest versions that are declared: codec, format, command line, models, Pillow.
check-lowest: $(LOWEST)/ready
	$(LOWEST)/bin/python -m pytest $(addprefix tests/test_,$(addsuffix .py,$(LOWEST_TESTS)))

# The same files on other processors and versions, emulated by qemu-user: some minutes each.
check-machines: $(DEV)/ready $(LOWEST)/ready
	$(DEV)/bin/python benchmarks/product/machines.py examples/kodim23.png examples/small/*.png

# dist/: sdist, wheel, the models of earlier releases, the pinned set with hashes, a bill of materials; tried as a user would install them.
release: web $(RELEASE)/ready
	@git diff --quiet HEAD || { echo "there are changes that no commit has"; exit 1; }
	mkdir -p build
	rm -rf dist build/lib build/bdist.* $(CLEAN)
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(RELEASE)/bin/python -m build --outdir dist .
	rm -rf build/models && mkdir build/models && cp models/pyproject.toml models/*.model build/models/
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(RELEASE)/bin/python -m build --wheel --outdir dist build/models
	$(RELEASE)/bin/uv pip compile -q pyproject.toml --universal --generate-hashes --no-header -c constraints.txt \
	  -o dist/requirements.txt
	$(call make_venv,$(CLEAN))
	$(CLEAN)/bin/pip install -q --require-hashes -r dist/requirements.txt
	$(CLEAN)/bin/pip install -q --no-deps dist/compass_codec-*.whl
	$(RELEASE)/bin/cyclonedx-py environment $(CLEAN) --pyproject pyproject.toml --mc-type library --output-reproducible -o dist/sbom.json
	$(CLEAN)/bin/pip check
	cd build && ../$(CLEAN)/bin/compass --version && ../$(CLEAN)/bin/compass encode ../examples/kodim23.png released.cmps --force \
	  && ../$(CLEAN)/bin/compass decode released.cmps released.png --force && ../$(CLEAN)/bin/compass encode-all ../examples released --force --jobs 1
	$(CLEAN)/bin/pip install -q --no-deps dist/compass_codec_models-*.whl
	for file in conformance/fast-*.cmps; do $(CLEAN)/bin/compass decode $$file build/released.png --force || exit 1; done
	cd dist && sha256sum * > SHA256SUMS
	@cat dist/SHA256SUMS

lint: $(DEV)/ready
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .

types: $(DEV)/ready
	$(DEV)/bin/mypy

check: lint types test

# The decoder for browsers, web/dist and its models; needs Node.js.
web: web/node_modules/ready $(RUN)/ready
	cd web && npm run --silent build
	rm -rf web/models
	$(RUN)/bin/compass models web web/models
	cp web/dist/compass-image.js src/compass/serve/static/

# With Chromium at /usr/bin/chromium, or at $$CHROMIUM, in that too.
web-test: web
	mkdir -p web/test/models && cp web/models/* web/test/models/
	for model in conformance/tiny.model models/*.model; do $(RUN)/bin/compass models web web/test/models --model $$model || exit 1; done
	cd web && npm run --silent types && npm test --silent

# A page to look at, on localhost.
web-demo: web
	$(RUN)/bin/python benchmarks/product/web_demo.py web/dist-demo examples/kodim23.png examples/small/*.png
	cp -r web/models web/dist-demo/
	cd web && npm run --silent demo -- $(PORT)

web/node_modules/ready: web/package-lock.json
	cd web && npm ci --no-audit --no-fund --loglevel error
	@touch $@

# Figures of the decoder for browsers: needs Chromium, and nothing else running.
web-results: web $(DEV)/ready
	$(DEV)/bin/python benchmarks/product/web.py $(KODAK) --count 20

# Processor time and memory by stage and size; nothing else should run.
bench: $(DEV)/ready
	$(DEV)/bin/python benchmarks/product/bench.py

# What effort brings: hours, and so apart from the rest.
effort: $(DEV)/ready
	for effort in 2 5 7 9; do \
	  $(DEV)/bin/compass evaluate $(KODAK) --codec compass-effort-$$effort --qualities 1,2,3,4 --force --processes 2 \
	    --out results/kodak/compass-effort-$$effort.json || exit 1; done
	$(DEV)/bin/compass evaluate $(KODAK) --codec single-compass-effort-7 --qualities 1,2,3,4 --force --processes 2 \
	  --out results/kodak/single-compass-effort-7.json
	$(DEV)/bin/python benchmarks/product/effort.py examples/kodim23.png

# SHVC at the ratios of tables 6 to 9; SHM is the folder of its programs. It does not depend on our models.
shvc: $(DEV)/ready
	@test -x "$(SHM)/TAppEncoderStatic" || { echo "make shvc SHM=FOLDER KODAK=FOLDER: SHM is the folder of TAppEncoderStatic"; exit 1; }
	for middle in 0.3 0.35 0.4 0.45; do for last in 0.6 0.7 0.8 0.9 1; do \
	  $(DEV)/bin/compass evaluate $(KODAK) --codec shvc --programs $(SHM) --scales 0.25,$$middle,$$last --truncate --qualities 27,32,37,42 \
	    --processes 2 --force --out results/kodak/shvc-$$middle-$$last.json || exit 1; done; done

# The paper's own networks at half of their width (the codec of Mei et al. at the whole of its own), in all of its layers and ratios: a day of one core.
# SHM, as above, puts SHVC beside them in the crops.
SMALL := results/paper-small
SMALL_CROPS := 05 08 13 14 16 21 24
COMMA := ,
GRID = $(DEV)/bin/python -m paper grid $(KODAK) --no-many --out $(SMALL)
MEI := mei=models/mei.pt mei-enhanced=models/mei-enhanced.pt
SMALL_MODELS := models/paper/paper-small.model models/paper/factorized-small.model models/paper/paper-small-liif.model
paper-small: $(DEV)/ready
	@ls $(SMALL_MODELS) $(foreach peer,$(MEI),$(word 2,$(subst =, ,$(peer)))) $(KODAK)/kodim07.png $(STAND_IN) > /dev/null
	$(GRID)/grid.json --model models/paper/paper-small.model
	$(GRID)/padded.json --model models/paper/paper-small.model --padded
	$(GRID)/factorized.json --model models/paper/factorized-small.model
	for peer in $(MEI); do $(GRID)/$${peer%%=*}.json --mei $$peer || exit 1; done
	$(call three_codecs,$(STAND_IN),$(SMALL)/stand-in-,--model models/paper/paper-small.model)
	$(call mei_codecs,$(STAND_IN),$(SMALL)/stand-in-)
	$(if $(URBAN100),$(call three_codecs,$(URBAN100),$(SMALL)/urban100-,--model models/paper/paper-small.model))
	$(if $(URBAN100),$(call mei_codecs,$(URBAN100),$(SMALL)/urban100-))
	$(DEV)/bin/compass evaluate $(KODAK) --codec compass --model models/paper/paper-small-liif.model --qualities 1,2,3,4 --truncate \
	  --processes 2 --force --out $(SMALL)/liif.json
	$(DEV)/bin/python -m paper report $(SMALL)/grid.json $(SMALL)/padded.json $(SMALL)/factorized.json $(SMALL)/mei*.json $(SMALL)/stand-in-*.json $$(ls $(SMALL)/urban100-*.json 2> /dev/null) results/kodak/shvc-*.json \
	  results/recorded/shvc*.json --liif $(SMALL)/liif.json $(patsubst %,--card %,$(wildcard models/*.json)) --model models/paper/paper-small.model \
	  --layers-of $(KODAK)/kodim07.png --layers-of $(KODAK)/kodim20.png $(SMALL_CROPS:%=--crops-of $(KODAK)/kodim%.png) \
	  $(MEI:%=--mei %) --against simulcast-compass,mei-original,mei-enhanced$(if $(SHM),$(COMMA)shvc --programs $(SHM)) \
	  --stand-in $(notdir $(STAND_IN)) --mean-scale-base --out $(SMALL) --force

# $(call three_codecs,IMAGES,PREFIX OF RESULTS,OPTIONS): layers, each size alone, and one file per size.
define three_codecs
for codec in compass single-compass simulcast-compass; do \
  $(DEV)/bin/compass evaluate $(1) --codec $$codec $(3) --qualities 1,2,3,4 --truncate --processes 2 --force --out $(2)$$codec.json || exit 1; done
endef

# $(call mei_codecs,IMAGES,PREFIX OF RESULTS): both codecs of Mei et al.
define mei_codecs
for peer in $(MEI); do $(DEV)/bin/python -m paper mei $${peer#*=} $(1) --profile $${peer%%=*} --out $(2)$${peer%%=*}.json || exit 1; done
endef

# Everything in results/ that is measured with the shipped model; KODAK is the folder of the 24 pictures, STAND_IN one
# of any others.
# results/symbols.json needs the weights of the training run and is made by hand: benchmarks/networks/symbols.py.
results: $(DEV)/ready
	$(DEV)/bin/compass evaluate $(KODAK) --codec compass --out results/kodak/compass.json --force --processes 2
	$(DEV)/bin/compass evaluate $(KODAK) --codec single-compass --qualities $(HALVES) --out results/kodak/single-compass.json \
	  --force --processes 2
	$(DEV)/bin/python -m paper exact $(KODAK)
	$(DEV)/bin/python -m paper grid $(KODAK)
	$(DEV)/bin/python -m paper grid $(KODAK) --padded --no-many --out results/grid-padded.json
	$(DEV)/bin/python benchmarks/product/layers.py $(KODAK)
	$(DEV)/bin/python benchmarks/networks/predictors.py
	$(DEV)/bin/python benchmarks/product/reference.py examples/kodim23.png
	$(DEV)/bin/python benchmarks/product/shapes.py examples/kodim23.png
	$(DEV)/bin/python benchmarks/product/drift.py examples/kodim23.png
	$(DEV)/bin/python benchmarks/product/speed.py
	$(DEV)/bin/python benchmarks/product/montage.py examples/kodim23.png
	$(DEV)/bin/python benchmarks/product/robustness.py examples/kodim23.png
	$(DEV)/bin/python benchmarks/product/report.py
	$(call three_codecs,$(STAND_IN),results/stand-in/)
	$(if $(URBAN100),$(call three_codecs,$(URBAN100),results/urban100/))
	$(DEV)/bin/python -m paper report results/grid.json results/grid-padded.json results/recorded/*.json results/anchors/published.json $(PEERS) \
	  results/stand-in/*.json $$(ls results/urban100/*.json 2> /dev/null) --stand-in $(notdir $(STAND_IN)) --force --layers-of $(KODAK)/kodim07.png $(CROPS:%=--crops-of $(KODAK)/kodim%.png)

$(RUN)/ready: pyproject.toml constraints.txt $(shell find src -name '*.py' -o -name '*.model')
	$(call make_venv,$(RUN))
	$(RUN)/bin/pip install -q -c constraints.txt .
	@touch $@

$(DEV)/ready: pyproject.toml constraints.txt
	$(call make_venv,$(DEV))
	$(DEV)/bin/pip install -q -c constraints.txt -e ".[train,eval,serve,cluster,dev]"
	@touch $@

$(LOWEST)/ready: pyproject.toml constraints-lowest.txt
	$(call make_venv,$(LOWEST))
	$(LOWEST)/bin/pip install -q -c constraints-lowest.txt -e . "pytest>=8" "hypothesis>=6"
	@touch $@

$(RELEASE)/ready: Makefile
	$(call make_venv,$(RELEASE))
	$(RELEASE)/bin/pip install -q "build>=1.2" "cyclonedx-bom>=5" "uv>=0.5"
	@touch $@

# Debian's python3 comes without ensurepip; virtualenv then does the same.
define make_venv
	$(PYTHON) -m venv $(1) 2>/dev/null || { rm -rf $(1); \
	  $(PYTHON) -m pip install -q --user --break-system-packages virtualenv && $(PYTHON) -m virtualenv -q $(1); }
endef

clean:
	rm -rf .venv build dist
