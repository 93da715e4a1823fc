"""Queues between stages: bounded, over ZeroMQ, on one host or several; they lose nothing unseen."""
