output "backend" {
  description = "terraform output -raw backend > ../environments/production/backend.hcl"
  value       = <<-EOT
    bucket     = "${aws_s3_bucket.state.bucket}"
    region     = "${var.region}"
    kms_key_id = "${module.key.arn}"
  EOT
}
