"""The self-test: does this machine compute what others compute, and what does it have to compute with?"""
