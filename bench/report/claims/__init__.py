"""Published claims against a study: reproduced, contradicted, inconclusive or not comparable."""
