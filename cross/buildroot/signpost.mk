################################################################################
#
# signpost
#
################################################################################

SIGNPOST_VERSION = 0.1.0
SIGNPOST_SOURCE = signpost-$(SIGNPOST_VERSION).tar.gz
SIGNPOST_SITE = $(call qstrip,$(BR2_PACKAGE_SIGNPOST_SOURCE))
SIGNPOST_SITE_METHOD = file
SIGNPOST_LICENSE = MIT or Apache-2.0
SIGNPOST_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

# The agent alone: a build of the whole workspace turns simulators on.
SIGNPOST_CARGO_BUILD_OPTS = \
	--package signpost --bin signpost --no-default-features \
	--features "$(call qstrip,$(BR2_PACKAGE_SIGNPOST_FEATURES))"

# The same files as in the package for Debian; systemd's presets enable the
# units when the image is made.
define SIGNPOST_INSTALL_TARGET_CMDS
	$(@D)/cross/install $(TARGET_DIR) \
		$(@D)/target/$(RUSTC_TARGET_NAME)/$(if $(BR2_ENABLE_DEBUG),debug,release)/signpost
endef

# In the image, so that a root that nobody writes has them, too.
define SIGNPOST_USERS
	signpost -1 signpost -1 * /var/lib/signpost - - Signpost agent
	- - i2c -1 * - - - I2C buses
	- - spi -1 * - - - SPI buses
	- - gpio -1 * - - - GPIO lines
endef

# Where the data partition is mounted: cross/images.md of the sources.
define SIGNPOST_PLACES
	mkdir -p $(TARGET_DIR)/var/lib/signpost $(TARGET_DIR)/etc/signpost
endef
SIGNPOST_POST_INSTALL_TARGET_HOOKS += SIGNPOST_PLACES

$(eval $(cargo-package))
