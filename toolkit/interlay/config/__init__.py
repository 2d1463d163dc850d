"""One configuration: a file that says what a program could say in Python, and makes the same objects."""

from interlay.chain.chain import Chain as Chain
from interlay.config.loading import Configuration as Configuration
from interlay.config.loading import check as check
from interlay.config.loading import load as load
from interlay.config.loading import load_chain
from interlay.config.problems import ConfigurationError as ConfigurationError
from interlay.config.problems import Problem as Problem

Chain.loader = load_chain
