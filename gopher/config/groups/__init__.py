"""The fields of Settings, by what they concern; `gopher.config.settings` joins them."""
