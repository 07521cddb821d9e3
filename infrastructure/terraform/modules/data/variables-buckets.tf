variable "objects_bucket_name" {
  description = "Bucket of tenants' objects (OBJECT_STORE_URL). null: NAME-ACCOUNT."
  type        = string
  default     = null

  validation {
    condition     = var.objects_bucket_name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.objects_bucket_name))
    error_message = "objects_bucket_name is 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "models_bucket_name" {
  description = "Bucket of models (MODEL_SOURCE). null: NAME-models-ACCOUNT."
  type        = string
  default     = null

  validation {
    condition     = var.models_bucket_name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.models_bucket_name))
    error_message = "models_bucket_name is 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "noncurrent_days" {
  description = "How long what was overwritten or deleted can be brought back, in days. A deleted document's index is physically gone after as long; a deleted tenant's objects are at once, in all versions."
  type        = number
  default     = 7

  validation {
    condition     = var.noncurrent_days >= 1 && var.noncurrent_days <= 90 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "noncurrent_days is 1 to 90."
  }
}

variable "access_log_bucket" {
  description = "Bucket that gets the server access logs of both buckets. null: none; CloudTrail's data events tell more, with the caller's role."
  type        = string
  default     = null
}
