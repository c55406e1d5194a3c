"""Deployments, the engines that hold them, and the gateway that answers over OpenAI's protocol."""
