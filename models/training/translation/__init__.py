"""Teaching looks: networks that turn one image into another."""
