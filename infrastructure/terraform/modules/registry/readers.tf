# Who pulls from another account needs both: this, and a role of its own that may pull. Layers are decrypted by ECR itself,
# by its grant on the key; a reader needs no right to that.
resource "aws_ecr_repository_policy" "readers" {
  for_each = length(var.reader_account_ids) == 0 ? [] : var.repositories

  repository = aws_ecr_repository.this[each.key].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Pull"
      Effect    = "Allow"
      Principal = { AWS = [for id in sort(var.reader_account_ids) : "arn:aws:iam::${id}:root"] }
      Action    = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }]
  })
}
