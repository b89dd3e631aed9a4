"""Models for ESPHome's micro_wake_word."""
