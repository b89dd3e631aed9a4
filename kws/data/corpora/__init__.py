"""Downloaded corpora -> manifests: an adapter for each, none of which downloads or copies sound (docs/corpora.md)."""
