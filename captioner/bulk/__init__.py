"""Captions of very many photos: from folders, shards and tables to shards of rows, on one machine or a Ray cluster.

The photos are listed once, in blocks (``plan``). Any worker of any engine captions a block and writes its rows as one
shard, whole (``worker``); so a job that was ended at any moment goes on with the blocks whose shards are missing.
"""
