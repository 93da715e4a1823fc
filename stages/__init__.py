"""The stages that come with the pipeline, one a file; `pipeline stages` lists them."""
