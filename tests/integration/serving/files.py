"""Tiny models in a file store."""

from maas.application.ports.file_store import FileStore
from tests.integration.trainer.tiny import make_base


def keep_model(store: FileStore, key: str, family: str = "qwen2") -> str:
    """Put a tiny model of a family under `<key>/files`; return that key."""
    with store.stage() as staging:
        make_base(staging.folder / "files", family)
        staging.commit(key)
    return f"{key}/files"


def keep_adapter(store: FileStore, key: str, base_key: str) -> str:
    """Put a LoRA adapter to a kept model under `<key>/files`, one that changes what the model says; return that key."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(store.local_copy(base_key))
    config = LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    with store.stage() as staging:
        get_peft_model(base, config).save_pretrained(str(staging.folder / "files"))
        staging.commit(key)
    return f"{key}/files"
