/* Every op by name: what Python binds.  A new kernel is one line here. */
#define ENTRY(op) {#op, {op_##op##_f32, op_##op##_f64}},
#define PAIR(op) ENTRY(op##_forward) ENTRY(op##_backward)
#define TANGENT(op) ENTRY(op##_tangent_backward)

static const nn_entry nn_table[] = {
    /* moving rows */
    ENTRY(gather_rows) ENTRY(gather_csr) ENTRY(gather_labels) ENTRY(gather_one_hot) ENTRY(gather_weights) ENTRY(write_rows)
    ENTRY(spread_rows) ENTRY(nothing)
    /* dense */
    ENTRY(dense_forward) ENTRY(dense_forward_direct) ENTRY(dense_forward_narrow)
    ENTRY(dense_backward_input) ENTRY(dense_backward_weight) ENTRY(dense_backward_bias) ENTRY(pack_weight) ENTRY(pack_large_weight)
    ENTRY(dense_forward_blas) ENTRY(dense_backward_input_blas) ENTRY(dense_backward_weight_blas)
    /* recurrent */
    PAIR(simple_rnn) PAIR(gru)
    ENTRY(dense_steps_forward) ENTRY(dense_steps_backward_input) ENTRY(dense_steps_backward_weight)
    ENTRY(dense_steps_forward_blas) ENTRY(dense_steps_backward_input_blas) ENTRY(dense_steps_backward_weight_blas)
    ENTRY(dense_steps_backward_bias)
    /* activations */
    PAIR(sigmoid) PAIR(tanh) PAIR(relu) PAIR(softplus) PAIR(softmax) PAIR(identity) PAIR(leaky_relu) PAIR(elu)
    PAIR(gelu) PAIR(gelu_tanh) PAIR(silu)
    /* noise */
    PAIR(dropout) PAIR(scaled) ENTRY(gaussian_noise_forward) PAIR(gaussian_dropout)
    PAIR(shakeout) PAIR(whiteout_multiplicative) PAIR(whiteout_additive)
    PAIR(activity_l1)
    /* normalisation */
    PAIR(batch_norm) PAIR(batch_norm_relu) ENTRY(batch_norm_sums) ENTRY(batch_norm_statistics) ENTRY(batch_renorm_statistics)
    ENTRY(batch_norm_constants) ENTRY(batch_norm_track) ENTRY(batch_renorm_track)
    ENTRY(batch_norm_backward_sums) ENTRY(batch_norm_relu_backward_sums)
    ENTRY(batch_norm_backward_statistics) PAIR(group_norm) PAIR(rms_norm) ENTRY(group_norm_backward_weight)
    ENTRY(weight_norm_weight) ENTRY(weight_norm_backward)
    /* losses and hits */
    ENTRY(squared_error) ENTRY(mean_squared_error) ENTRY(mean_absolute_error) ENTRY(huber) ENTRY(hinge)
    ENTRY(binary_cross_entropy) ENTRY(kl_divergence) ENTRY(sigmoid_cross_entropy)
    ENTRY(softmax_cross_entropy) ENTRY(softmax_cross_entropy_labels)
    ENTRY(accuracy_labels) ENTRY(accuracy_targets) ENTRY(accuracy_binary)
    /* tangents: Hessian and Gauss-Newton products */
    ENTRY(dense_tangent_forward) ENTRY(dense_tangent_backward_input) ENTRY(dense_tangent_backward_weight)
    TANGENT(sigmoid) TANGENT(tanh) TANGENT(relu) TANGENT(softplus) TANGENT(softmax) TANGENT(identity) TANGENT(leaky_relu)
    TANGENT(elu) TANGENT(gelu) TANGENT(gelu_tanh) TANGENT(silu)
    ENTRY(squared_error_tangent) ENTRY(mean_squared_error_tangent) ENTRY(mean_absolute_error_tangent) ENTRY(huber_tangent)
    ENTRY(hinge_tangent) ENTRY(binary_cross_entropy_tangent) ENTRY(kl_divergence_tangent)
    ENTRY(sigmoid_cross_entropy_tangent) ENTRY(softmax_cross_entropy_tangent)
    ENTRY(softmax_cross_entropy_labels_tangent) ENTRY(load_direction) ENTRY(add_product)
    PAIR(batch_norm_tangent) ENTRY(batch_norm_tangent_statistics) ENTRY(batch_norm_tangent_backward_sums)
    ENTRY(batch_norm_tangent_backward_statistics) PAIR(group_norm_tangent) ENTRY(group_norm_tangent_backward_weight)
    PAIR(rms_norm_tangent) ENTRY(rms_norm_tangent_backward_weight)
    ENTRY(weight_norm_tangent_weight) ENTRY(weight_norm_tangent_backward) PAIR(simple_rnn_tangent) PAIR(gru_tangent)
    ENTRY(dense_steps_tangent_forward) ENTRY(dense_steps_tangent_backward_input) ENTRY(dense_steps_tangent_backward_weight)
    /* gradients before the update */
    ENTRY(penalty) ENTRY(clip_value) ENTRY(square_sum) ENTRY(clip_factor) ENTRY(scale_gradient)
    ENTRY(gradient_noise)
    /* parameters after the update */
    ENTRY(shrink) ENTRY(average)
    /* optimizers */
    ENTRY(sgd_update) ENTRY(momentum_update) ENTRY(momentum_outside_update) ENTRY(nesterov_enter) ENTRY(nesterov_update)
    ENTRY(nesterov_leave) ENTRY(adagrad_update) ENTRY(adagrad_inside_update) ENTRY(rmsprop_update)
    ENTRY(rmsprop_inside_update) ENTRY(rmsprop_momentum_update) ENTRY(rmsprop_momentum_inside_update)
    ENTRY(rmsprop_centered_update) ENTRY(rmsprop_centered_inside_update) ENTRY(rmsprop_centered_momentum_update)
    ENTRY(rmsprop_centered_momentum_inside_update) ENTRY(adadelta_update) ENTRY(adadelta_outside_update)
    ENTRY(adam_update) ENTRY(adam_inside_update) ENTRY(adamw_update) ENTRY(adamw_inside_update) ENTRY(amsgrad_update)
    ENTRY(amsgrad_inside_update) ENTRY(adamax_update) ENTRY(nadam_update) ENTRY(lion_update) ENTRY(rprop_update)
    ENTRY(delta_bar_delta_update)
    {NULL, {NULL, NULL}}
};
#undef ENTRY
#undef PAIR
#undef TANGENT
