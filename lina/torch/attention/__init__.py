"""Attention with rotary positions beyond the trained length: prefill, decoding, and the merge that both are made of."""
