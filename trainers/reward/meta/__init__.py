"""MetaRM: reward models whose gradient is taken where they tell the policy's responses apart better."""
