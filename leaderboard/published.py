"""Numbers copied from the paper, shown beside ours and marked as copied; they are part of no test."""

SOURCE = "Lang et al. 2024 (arXiv:2403.19279)"
PUBLISHED: dict[str, dict[str, tuple[float, ...]]] = {
    "2": {  # AlpacaFarm simulated, AlpacaFarm human, LLMBar, Vicuna; one run each
        "base": (11.3, 6.5, 12.5, 12.8),
        "sft": (36.7, 44.3, 42.4, 50.0),
        "best_of_n": (45.0, 50.7, 43.4, 52.5),
        "ppo": (46.8, 55.1, 47.5, 57.5),
        "rlp_uml": (49.1, 56.5, 48.5, 61.3),
        "rlp_spg": (50.2, 57.4, 50.5, 62.5),
    },
    "4": {
        "rlp_uml": (49.1,),
        "infomax": (44.4,),
        "mvi": (48.1,),
        "cl": (48.2,),
    },  # win rate, AlpacaFarm simulated
    "5": {  # preference accuracy, win rate
        "rlaif": (52, 46.0),
        "reward_pairs": (56, 48.9),
        "select_all": (55, 48.7),
        "rlp_spg": (59, 50.2),
    },
    "8": {
        "base": (35.2,),
        "ppo": (36.9,),
        "rlp_uml": (37.6,),
        "rlp_spg": (37.3,),
    },  # MMLU, 5-shot, 14 042 questions
}
COLUMNS = {"alpacafarm": ("2", 0), "llmbar": ("2", 2), "vicuna": ("2", 3), "mmlu": ("8", 0)}
"""Alias of a suite -> (table, index of the column)."""
