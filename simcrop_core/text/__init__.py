"""What a report says: sentences, what each asserts and where, and its embedding."""
