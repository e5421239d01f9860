"""Segmentation: the UNETR fine-tuned from any image encoder, and any segmentation model scored."""
