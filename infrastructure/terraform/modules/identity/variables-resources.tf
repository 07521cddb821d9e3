variable "objects_bucket_arn" {
  description = "Bucket of tenants' objects."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:s3:::[^/*]+$", var.objects_bucket_arn))
    error_message = "objects_bucket_arn is the ARN of a bucket, without a path."
  }
}

variable "objects_prefix" {
  description = "The path in OBJECT_STORE_URL, below which tenants/ lies. Empty: the bucket itself."
  type        = string
  default     = "objects"

  validation {
    condition     = can(regex("^([A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*)?$", var.objects_prefix))
    error_message = "objects_prefix is a path without slashes at its ends."
  }
}

variable "tenant_sessions" {
  description = "Router and RAG service have no right to objects themselves, but may assume a role for one tenant each time (OBJECT_STORE_ROLE_ARN): what they then do with a wrong key, S3 refuses. false: they may reach every tenant's objects, and only the code keeps tenants apart."
  type        = bool
  default     = true
}

variable "models_bucket_arn" {
  description = "Bucket of models."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:s3:::[^/*]+$", var.models_bucket_arn))
    error_message = "models_bucket_arn is the ARN of a bucket, without a path."
  }
}

variable "data_kms_key_arn" {
  description = "The key that encrypts the buckets."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.data_kms_key_arn))
    error_message = "data_kms_key_arn is the ARN of a key."
  }
}

variable "sealing_kms_key_arn" {
  description = "The key that seals tenants' keys for engines of their own (KMS_KEY_ID)."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.sealing_kms_key_arn))
    error_message = "sealing_kms_key_arn is the ARN of a key."
  }
}

variable "secret_arns" {
  description = "Entries that External Secrets reads, by name (output of module secrets)."
  type        = map(string)

  validation {
    condition     = length(var.secret_arns) > 0 && alltrue([for arn in values(var.secret_arns) : can(regex("^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^*?]+$", arn))])
    error_message = "secret_arns are whole ARNs of secrets, at least one."
  }
}

variable "secrets_kms_key_arn" {
  description = "The key that encrypts those entries (output kms_key_arn of module secrets)."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.secrets_kms_key_arn))
    error_message = "secrets_kms_key_arn is the ARN of a key."
  }
}

variable "log_group_arns" {
  description = "Log groups that Fluent Bit writes to, and the services with services_write_logs."
  type        = list(string)

  validation {
    condition     = length(var.log_group_arns) > 0 && alltrue([for arn in var.log_group_arns : can(regex("^arn:[a-z-]+:logs:[a-z0-9-]+:[0-9]{12}:log-group:[^*:]+$", arn))])
    error_message = "log_group_arns are ARNs of log groups, without :* at the end, at least one."
  }
}

variable "services_write_logs" {
  description = "The services send their logs themselves (LOGS_SINK=cloudwatch), without Fluent Bit."
  type        = bool
  default     = false
}

variable "metrics_namespace" {
  description = "The namespace of CloudWatch in which the services put metrics (METRICS_SINK=cloudwatch), and no other. null: they may not."
  type        = string
  default     = "MultiTenantChatbot"
}

variable "prometheus_workspace_arn" {
  description = "Workspace of Amazon Managed Prometheus that the collector writes to. null: none."
  type        = string
  default     = null

  validation {
    condition     = var.prometheus_workspace_arn == null || can(regex("^arn:[a-z-]+:aps:[a-z0-9-]+:[0-9]{12}:workspace/[^*]+$", var.prometheus_workspace_arn))
    error_message = "prometheus_workspace_arn is the ARN of a workspace."
  }
}

variable "guardrail_arns" {
  description = "Guardrails of Amazon Bedrock that the router asks (BEDROCK_GUARDRAIL_ID)."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.guardrail_arns : can(regex("^arn:[a-z-]+:bedrock:[a-z0-9-]+:[0-9]{12}:guardrail/[^*]+$", arn))])
    error_message = "guardrail_arns are ARNs of guardrails."
  }
}
