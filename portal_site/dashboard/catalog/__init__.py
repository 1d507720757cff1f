"""The pages of the catalogue: products and their prices, coupons and their promotion codes, tax rates."""
