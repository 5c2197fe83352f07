"""Measurements that ``mfviz bench`` makes on the machine at hand; nothing here is a test."""
