"""The HTTP service: application, limits, queue, what requests may say."""
