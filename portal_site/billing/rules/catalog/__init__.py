"""What a merchant may enter in the catalogue: products, prices, coupons, promotion codes and tax rates."""
