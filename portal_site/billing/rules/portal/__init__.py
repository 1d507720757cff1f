"""Rules of portal configurations: features, locales and safe URLs."""
