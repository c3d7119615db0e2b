# The two commands in a container, with PyTorch for the CPU or, as pip takes it by itself, for CUDA:
#   docker build --build-arg TORCH_INDEX=URL -t anyscene .       # docs/install.md says which URL
#   docker build -t anyscene:cuda .                              # run it with --gpus all
#   docker run --rm -it -p 8080:8080 anyscene make demo
FROM python:3.11-slim-bookworm

RUN apt-get update \
 && apt-get install -y --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/*

# `make test` alone needs a compiler, the header for MinkowskiEngine and a browser: --build-arg TEST=1
ARG TEST=
RUN if [ -n "$TEST" ]; then apt-get update \
 && apt-get install -y --no-install-recommends g++ libopenblas-dev chromium \
 && rm -rf /var/lib/apt/lists/*; fi

WORKDIR /anyscene
ARG TORCH_INDEX=
# Dependencies before the code, so that a change of the code installs nothing again
COPY Makefile pyproject.toml constraints.txt README.md LICENSE ./
COPY install install
COPY pipeline/anyscene/__init__.py pipeline/anyscene/__init__.py
RUN make install TORCH_INDEX="$TORCH_INDEX"
COPY . .
RUN touch .venv/.ready
ENV PATH=/anyscene/.venv/bin:$PATH
CMD ["bash"]
