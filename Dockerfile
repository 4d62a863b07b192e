# The image of the command, its workers and its dashboard; docs/compose.md has the commands.
#
#   TORCH=cpu      the CPU build, from PyTorch's own index (default)
#   TORCH=cu128    a CUDA build, by its name in that index
#   TORCH=index    the build that pip's index offers
#
# pip's own variables (PIP_INDEX_URL, PIP_FIND_LINKS, PIP_NO_INDEX …) are build arguments, for networks with a mirror. They
# leave no trace in the image, since its last stage does not use them; the builder's cache keeps them.

ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS requirements
WORKDIR /build
COPY pyproject.toml .
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > requirements.txt

# What the source needs, in a layer that stays while only the source changes.
FROM ${PYTHON} AS packages
ARG TORCH=cpu
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
ARG PIP_DEFAULT_TIMEOUT
WORKDIR /build
RUN python -m venv /opt/studyhall
COPY constraints.txt .
RUN test "$TORCH" = index \
    || /opt/studyhall/bin/pip install --no-cache-dir --no-deps -c constraints.txt \
        --index-url "https://download.pytorch.org/whl/$TORCH" torch
COPY --from=requirements /build/requirements.txt .
RUN /opt/studyhall/bin/pip install --no-cache-dir -c constraints.txt -r requirements.txt

FROM packages AS source
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY objectives objectives
COPY storage storage
COPY study study
RUN /opt/studyhall/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM ${PYTHON}
COPY --from=packages /opt/studyhall /opt/studyhall
# The user's number is chosen when a container starts: that of the data folder's owner.
RUN mkdir --mode 1777 /home/studyhall
COPY --from=source /wheel /wheel
RUN /opt/studyhall/bin/pip install --no-cache-dir --no-deps --no-index /wheel/*.whl
COPY deploy/compose /opt/compose
ENV PATH=/opt/compose:/opt/studyhall/bin:$PATH \
    HOME=/home/studyhall \
    USER=studyhall
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["studyhall"]
CMD ["--help"]
