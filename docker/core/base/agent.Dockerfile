# The top layer of the sandbox image: the container agent and its byte code. Quick, so that an edit is tried in seconds.
ARG ROOTFS
FROM ${ROOTFS}
USER 0:0
COPY runtime/ /opt/rumi/
RUN ["python3", "-I", "-X", "pycache_prefix=/opt/rumi/pycache", "-m", "compileall", "-q", "-x", "/pycache/", "--invalidation-mode", "unchecked-hash", "/opt/rumi"]
USER 65534:65534
CMD ["python3", "-I", "-B", "/opt/rumi/container_agent.py"]
