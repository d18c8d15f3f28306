"""What reproduces the COMPASS paper (Park, Lee, Kim, ICCV 2023) with this codec: its grid, its tables, its figures."""
