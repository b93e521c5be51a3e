"""The event schemas of the reference fleet: one module per domain of a shop platform with many tenants."""
