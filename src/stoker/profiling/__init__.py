"""What ``stoker.profile`` does: draws items from a source without a model, and says how it will feed one."""
