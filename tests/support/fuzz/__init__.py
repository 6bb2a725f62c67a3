"""A fuzzer on the socket: valid requests to every route, spoiled with knowledge of HTTP, JSON, forms and CSV.

Request number `n` of a seed is the same in every run, apart from the ids of the resources that it names.
"""
