"""Reading and writing picture files and the metadata in them."""
