# The image of a release. goreleaser brings the files; .ci/image.sh tries what they make.
FROM scratch
ARG TARGETPLATFORM
COPY .release/root/ /
COPY --chown=65534:65534 .release/state/ /var/lib/
COPY $TARGETPLATFORM/villapay /usr/bin/villapay
ENV VILLAPAY_CONFIG_DIR=/etc/villapay VILLAPAY_STATE_DIR=/var/lib/villapay
USER 65534:65534
ENTRYPOINT ["/usr/bin/villapay"]
