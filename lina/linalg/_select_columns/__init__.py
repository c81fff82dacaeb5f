"""Column subset selection: ``public`` checks and certifies, ``choose`` names the rules, one file each."""
