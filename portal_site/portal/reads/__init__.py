"""What pages show: selects of just those columns, read into small frozen values. Nothing here changes anything."""
