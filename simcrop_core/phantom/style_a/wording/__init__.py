"""How a radiologist words a finding, its absence, and the organs of a normal scan."""
