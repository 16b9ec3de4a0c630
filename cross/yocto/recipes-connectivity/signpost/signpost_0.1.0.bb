SUMMARY = "Signs a device without a browser in, and speaks in its user's name from then on"
DESCRIPTION = "Runs the OAuth 2.0 device authorization grant, shows the code on the device's panel, keeps the sign-in \
on flash, hands tokens to local programs and forwards their telemetry."
SECTION = "net"
LICENSE = "Apache-2.0 OR MIT"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=ae35cf9de2a3beb89f1766d981e888dc \
                    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# A folder `files` beside this recipe has the sources: git archive --prefix=signpost-${PV}/ -o signpost-${PV}.tar.gz HEAD
SRC_URI = "file://signpost-${PV}.tar.gz"
# The crates of Cargo.lock, as `bitbake -c update_crates signpost` writes them.
include ${BPN}-crates.inc

inherit cargo cargo-update-recipe-crates systemd useradd

# The agent alone: a build of the whole workspace turns simulators on.
CARGO_BUILD_FLAGS += "--package signpost --bin signpost --no-default-features --features ${SIGNPOST_FEATURES}"
# What a small board needs, for example panel-hd44780: cross/README.md of the sources tells what each costs.
SIGNPOST_FEATURES ?= "panels,preview,zstd"

# The same files as in the package for Debian, and the places where the data partition is mounted.
do_install() {
    ${S}/cross/install ${D} ${B}/target/${CARGO_TARGET_SUBDIR}/signpost
    install -d -m 0700 ${D}${localstatedir}/lib/signpost
    install -d ${D}${sysconfdir}/signpost
}

# signpost-reset.service is started by hand.
SYSTEMD_SERVICE:${PN} = "signpost.service signpost.socket"

# In the image, so that a root that nobody writes has them, too.
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system i2c; --system spi; --system gpio"
USERADD_PARAM:${PN} = "--system --user-group --no-create-home --home-dir ${localstatedir}/lib/signpost signpost"

FILES:${PN} += "${nonarch_libdir}/sysusers.d ${systemd_unitdir} ${datadir}/fish ${datadir}/zsh"
RDEPENDS:${PN} += "systemd"
RRECOMMENDS:${PN} += "ca-certificates"
