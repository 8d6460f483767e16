"""What there is: principals, tokens and delegations, and how to find them by what people type."""
