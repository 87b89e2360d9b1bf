"""The commands of `codecsim`: what they take, say and write."""
