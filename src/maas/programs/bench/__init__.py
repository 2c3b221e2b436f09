"""Children of `maas bench`: makers of random models, and the references that the platform is measured against."""
